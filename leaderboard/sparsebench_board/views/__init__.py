"""The statistics as sheets and entries: what `leaderboard --view` prints."""
