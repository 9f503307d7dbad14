"""Instructions on their way: those without a final answer, what each comes to, and the answers."""
