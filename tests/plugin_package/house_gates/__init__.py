"""House rules as gates, and the house's tracker."""
