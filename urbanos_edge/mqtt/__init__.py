"""What an MQTT broker delivers: `broker` speaks to it, `subscription` takes what it says."""
