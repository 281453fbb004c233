sm.create_model(ModelName="m", PrimaryContainer={"Image": "model"}, EnableNetworkIsolation=True)
variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
sm.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
sm.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
print("done")
