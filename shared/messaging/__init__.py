"""What goes through Redis: the bells, the notices and the event logs of replies."""
