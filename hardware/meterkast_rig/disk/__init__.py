"""A disk that forgets: what a process writes is recorded, and what a power cut could leave of it is made."""
