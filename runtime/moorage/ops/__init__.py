"""What every long-running program needs: settings, logs, health, an orderly shutdown."""
