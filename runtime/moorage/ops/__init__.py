"""What every long-running program needs besides its work: settings, logs, health, an orderly end."""
