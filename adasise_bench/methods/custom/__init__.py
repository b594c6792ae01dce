"""Methods of the user's own: any function or installed class that gives a map."""
