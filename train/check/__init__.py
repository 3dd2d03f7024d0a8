"""`train check`: proves what a run made, before and after, figure by figure."""
