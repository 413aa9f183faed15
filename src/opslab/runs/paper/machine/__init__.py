"""A paper run as a state machine: rules map a state and a fact to the next state and to actions."""
