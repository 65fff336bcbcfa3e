"""One module a command of `ssd`, each thin: parse, call the library, print."""
