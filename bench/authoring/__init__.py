"""Writing a suite: a skeleton to begin with, cases from chat logs, and all that is wrong with what was written."""
