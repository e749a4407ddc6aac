"""What is said to Salesforce's APIs and how its answers read: pure pairs of request and reader."""
