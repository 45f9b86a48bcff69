"""The events of a workspace as arrays in person order, and the loops that read them. Derived; the lake is what is kept."""
