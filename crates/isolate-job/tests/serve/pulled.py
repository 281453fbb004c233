# An endpoint of a model without data, whose image is not there.
role = "arn:aws:iam::111122223333:role/Serve"
sm.create_model(ModelName="slow", PrimaryContainer={"Image": "slow"}, ExecutionRoleArn=role, EnableNetworkIsolation=True)
variant = {"VariantName": "AllTraffic", "ModelName": "slow", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
sm.create_endpoint_config(EndpointConfigName="slow", ProductionVariants=[variant])
sm.create_endpoint(EndpointName="slow", EndpointConfigName="slow")
assert sm.describe_endpoint(EndpointName="slow")["EndpointStatus"] == "Creating"
print("done")
