"""The API: what scripts and other services ask about segments, in a process of its own behind the door."""
