# The aws CLI, unmodified: a training job, an endpoint, and its waiters, which ask every two minutes for jobs and every 30 seconds for
# endpoints.
set -euo pipefail
role=arn:aws:iam::111122223333:role/Train
query() { # COMMAND... QUERY
    aws "${@:1:$#-1}" --output text --query "${@: -1}"
}
fails() { # TEXT COMMAND...
    if "${@:2}" >out 2>&1 || ! grep -q "$1" out; then
        cat out
        exit 1
    fi
}
cd "$(mktemp -d)"
echo 1,2,3 >x.csv
aws s3 mb s3://results >out
aws s3 cp --quiet x.csv s3://data/train/x.csv
cat >job.json <<END
{
  "TrainingJobName": "quick",
  "AlgorithmSpecification": {"TrainingImage": "model", "TrainingInputMode": "File"},
  "RoleArn": "$role",
  "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train/"}}}],
  "OutputDataConfig": {"S3OutputPath": "s3://results"},
  "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
  "StoppingCondition": {"MaxRuntimeInSeconds": 600}
}
END
fails 'EnableNetworkIsolation is not true' aws sagemaker create-training-job --cli-input-json file://job.json
aws sagemaker create-training-job --cli-input-json file://job.json --enable-network-isolation >out
aws sagemaker wait training-job-completed-or-stopped --training-job-name quick
[ "$(query sagemaker describe-training-job --training-job-name quick '[TrainingJobStatus, ModelArtifacts.S3ModelArtifacts]')" = \
    $'Completed\ts3://results/quick/output/model.tar.gz' ]
[ "$(query sagemaker list-training-jobs --status-equals Completed 'TrainingJobSummaries[].TrainingJobName')" = quick ]
fails 'cannot be stopped' aws sagemaker stop-training-job --training-job-name quick
group=/aws/sagemaker/TrainingJobs
stream=$(query logs describe-log-streams --log-group-name $group --log-stream-name-prefix quick/ 'logStreams[].logStreamName')
[ "$(query logs get-log-events --log-group-name $group --log-stream-name "$stream" --start-from-head --limit 2 'events[].message')" = \
    $'lo\tline 1' ]
[ "$(query logs filter-log-events --log-group-name $group --log-stream-name-prefix quick/ 'events[-1].message')" = 'line 2000' ]

# A job that is stopped.
touch wait
aws s3 cp --quiet x.csv s3://data/endless/x.csv
aws s3 cp --quiet wait s3://data/endless/wait
sed -e 's/"quick"/"endless"/' -e 's,data/train/,data/endless/,' job.json >endless.json
aws sagemaker create-training-job --cli-input-json file://endless.json --enable-network-isolation >out
until [ "$(query sagemaker describe-training-job --training-job-name endless SecondaryStatus)" = Training ]; do :; done
aws sagemaker stop-training-job --training-job-name endless
until [ "$(query sagemaker describe-training-job --training-job-name endless TrainingJobStatus)" = Stopped ]; do :; done
aws sagemaker wait training-job-completed-or-stopped --training-job-name endless

aws sagemaker create-model --model-name m --execution-role-arn $role --enable-network-isolation \
    --primary-container Image=model,ModelDataUrl=s3://results/quick/output/model.tar.gz >out
aws sagemaker create-endpoint-config --endpoint-config-name c \
    --production-variants VariantName=one,ModelName=m,InitialInstanceCount=1,InstanceType=ml.m5.large >out
aws sagemaker create-endpoint --endpoint-name e --endpoint-config-name c >out
aws sagemaker wait endpoint-in-service --endpoint-name e
aws sagemaker-runtime invoke-endpoint --endpoint-name e --body file://x.csv answer >out
[ "$(head -n 2 answer)" = $'weights 1,2,3\nbody 1,2,3' ]
aws sagemaker delete-endpoint --endpoint-name e
aws sagemaker wait endpoint-deleted --endpoint-name e
fails 'DescribeProcessingJob is not supported' aws sagemaker describe-processing-job --processing-job-name p
echo 'done'
