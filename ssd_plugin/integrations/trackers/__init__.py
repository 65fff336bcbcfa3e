"""The built-in experiment trackers, one file each, named as the setting `report.trackers` names them."""
