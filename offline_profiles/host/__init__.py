"""What a host is, from what its own tools show: parsers of recorded text, and a probe that runs the tools."""
