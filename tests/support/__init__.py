"""What the tests share: servers that misbehave on demand, small builds, rows, replicas of sites, a browser."""
