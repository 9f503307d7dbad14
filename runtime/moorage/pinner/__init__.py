"""The pod pinner: instructions become reservations, reservations become placeholders and pins."""
