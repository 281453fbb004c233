# SageMaker's Python SDK 3, unmodified, with a container of one's own.
import pathlib, tempfile
from botocore.exceptions import ClientError
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.parameter import IntegerParameter
from sagemaker.core.resources import HyperParameterTuningJob, TrainingJob
from sagemaker.core.shapes import (
    Channel,
    DataSource,
    HyperParameterAlgorithmSpecification,
    HyperParameterTrainingJobDefinition,
    HyperParameterTuningJobConfig,
    HyperParameterTuningJobObjective,
    IntegerParameterRange,
    MetricDefinition,
    ParameterRanges,
    ResourceConfig,
    ResourceLimits,
    S3DataSource,
    StoppingCondition,
)
from sagemaker.core.training.configs import Compute, InputData, Networking, OutputDataConfig, SourceCode
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train.model_trainer import ModelTrainer
from sagemaker.train.tuner import HyperparameterTuner

role = "arn:aws:iam::111122223333:role/Train"
isolated = Networking(enable_network_isolation=True)
session = Session(default_bucket="results")
inputs = [InputData(channel_name="training", data_source="s3://data/iris/")]
results = OutputDataConfig(s3_output_path="s3://results")


def trainer(**more):
    return ModelTrainer(
        training_image="scikit",
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=1),
        networking=isolated,
        role=role,
        output_data_config=results,
        sagemaker_session=session,
        **more,
    )


# The program of the image, then one's own, which the SDK sends as two more channels.
trainer(base_job_name="tree", hyperparameters={"max_leaf_nodes": 5}).train(input_data_config=inputs)
source = pathlib.Path(tempfile.mkdtemp())
(source / "own.py").write_text(
    "import os\nassert os.listdir('/sys/class/net') == ['lo']\n"
    "assert open('/opt/ml/input/data/training/iris.csv').read().count('setosa') == 50\n"
    "open('/opt/ml/model/own', 'w').write('own')\n"
)
code = SourceCode(source_dir=str(source), entry_script="own.py")
trainer(base_job_name="own", source_code=code).train(input_data_config=inputs)

# The SDK's tuner does not send EnableNetworkIsolation, so it is refused; its resource classes do.
ranges = {"max_leaf_nodes": IntegerParameter(2, 9)}
metrics = [{"Name": "accuracy", "Regex": "accuracy=([0-9.]+)"}]
tuner = HyperparameterTuner(trainer(hyperparameters={}), "accuracy", ranges, metrics, strategy="Random", max_jobs=2)
try:
    tuner.tune(inputs=inputs)
    raise AssertionError("it was not refused")
except ClientError as error:
    assert "EnableNetworkIsolation is not true" in str(error), error
s3_source = S3DataSource(s3_data_type="S3Prefix", s3_uri="s3://data/iris/")
definition = HyperParameterTrainingJobDefinition(
    algorithm_specification=HyperParameterAlgorithmSpecification(
        training_image="scikit",
        training_input_mode="File",
        metric_definitions=[MetricDefinition(name="accuracy", regex="accuracy=([0-9.]+)")],
    ),
    role_arn=role,
    input_data_config=[Channel(channel_name="training", data_source=DataSource(s3_data_source=s3_source))],
    output_data_config=results,
    resource_config=ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=1),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    enable_network_isolation=True,
)
tuning = HyperParameterTuningJob.create(
    hyper_parameter_tuning_job_name="tune",
    hyper_parameter_tuning_job_config=HyperParameterTuningJobConfig(
        strategy="Random",
        hyper_parameter_tuning_job_objective=HyperParameterTuningJobObjective(type="Maximize", metric_name="accuracy"),
        parameter_ranges=ParameterRanges(
            integer_parameter_ranges=[IntegerParameterRange(name="max_leaf_nodes", min_value="2", max_value="9")]
        ),
        resource_limits=ResourceLimits(max_number_of_training_jobs=2, max_parallel_training_jobs=2),
    ),
    training_job_definition=definition,
)
tuning.wait(poll=1)
tuning.refresh()
best = TrainingJob.get(tuning.best_training_job.training_job_name)

builder = ModelBuilder(
    image_uri="scikit",
    s3_model_data_url=best.model_artifacts.s3_model_artifacts,
    network=isolated,
    instance_type="ml.m5.large",
    role_arn=role,
    sagemaker_session=session,
)
builder.build(model_name="tree")
endpoint = builder.deploy(endpoint_name="served", initial_instance_count=1, instance_type="ml.m5.large")
answer = endpoint.invoke(body=b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n", content_type="text/csv")
assert answer.body.read() == b"setosa\nvirginica\n"
endpoint.delete()
print("done")
