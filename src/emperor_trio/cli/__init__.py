"""The command line: the only place that prints. Trio is imported only by the command that runs the emperor."""
