"""Files with which the lab is deployed beside other programs."""
