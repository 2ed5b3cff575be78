"""Settings of this process: memory, threads, and its end with the parent process."""
