"""Programs compiled by CmdStan's tools, and run through cmdstanpy."""
