"""The leaderboard: records to rows, statistics and tables; records to MLflow."""
