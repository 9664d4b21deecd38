"""The paper's experiments as independent cells in a folder that any number of processes and machines share."""
