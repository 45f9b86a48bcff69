"""One definition each, written once as a loop over the rows of a person, compiled by numba. Arrays in, arrays out."""
