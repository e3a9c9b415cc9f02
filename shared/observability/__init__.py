"""What processes tell of themselves: log lines, metrics, traces."""
