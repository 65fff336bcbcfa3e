"""What a gate run leaves for people and tools: verdict, SARIF, JUnit, signatures."""
