"""Files become facts: `open_import` cuts a file into chunks for the inbox, `preview` says beforehand what happens."""
