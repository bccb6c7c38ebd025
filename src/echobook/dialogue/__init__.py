"""Conversations of several people: who answers whom, and which messages belong together."""
