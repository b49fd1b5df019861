"""Kafka for slipcore: topics and checkpoints on Apache Kafka."""
