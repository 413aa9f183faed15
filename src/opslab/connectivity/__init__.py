"""Are the named variables set; does a loopback URL answer."""
