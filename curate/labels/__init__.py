"""What people said of pages, beyond one label: what is true of a page, how far raters can be trusted, in and out of files."""
