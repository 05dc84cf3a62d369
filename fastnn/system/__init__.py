"""What fastnn needs from the operating system: files, folders, who may write to them, and lines for the user."""
