"""What is measured along a trajectory: pair and angle distributions, mean square displacement, vibrations."""
