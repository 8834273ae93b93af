"""The servers that Auspex stands on, each as configuration and a process: never the distribution's own instances."""
