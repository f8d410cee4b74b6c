"""What HTTP needs besides the job."""
