"""`deploy serve`: LMDeploy's own api_server and proxy, with the settings of `[serve]`."""
