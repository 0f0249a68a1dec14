"""What an operator watches: rules, objectives, dashboards, and what writes the derived files."""
