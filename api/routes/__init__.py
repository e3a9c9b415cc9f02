"""What each path takes and answers. A route parses, calls a service and returns."""
