"""Private, throw-away real servers on free ports of loopback, one file each; none needs an init system."""
