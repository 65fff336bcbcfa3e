"""Where promoted models live: a registry keeps versions of a model and an alias, "champion", that serving follows."""
