"""Operations of `tc drill`."""
