"""What shows what happened: the log and the statistics. None of them decides anything or slows anybody down."""
