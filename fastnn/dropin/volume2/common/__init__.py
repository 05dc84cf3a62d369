"""The package `common` of the second volume; its recurrent layers are the script's own."""
