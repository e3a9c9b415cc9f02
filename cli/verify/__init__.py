"""`asyncchat verify`: load on an installation, faults in its own processes, and a count of what went wrong."""
