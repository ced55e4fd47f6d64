"""The HTTP surface: routes unpack, call and pack; they decide nothing."""
