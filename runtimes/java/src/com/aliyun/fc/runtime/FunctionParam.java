package com.aliyun.fc.runtime;

/** The function that runs. */
public interface FunctionParam {
    String getFunctionName();

    String getFunctionHandler();

    int getExecTimeLimitInMillis();

    int getMemoryLimitInMB();
}
