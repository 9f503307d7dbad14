"""Nodes that run and on which others expect pods (SlotReservation)."""
