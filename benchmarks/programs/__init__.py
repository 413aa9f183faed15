"""The yardsticks and the maker of data: programs that run in processes of their own and know nothing of the lab."""
