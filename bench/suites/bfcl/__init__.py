"""The Berkeley Function Calling Leaderboard, version 4: its cases, read from the official package, which is pulled."""
